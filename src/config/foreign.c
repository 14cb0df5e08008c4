/* config/foreign.c: Mosquitto's options that Chappe does not have.
 *
 * Somebody who moves here with a configuration of years must be told by name what will not work,
 * before anything is opened.  Ignoring a line that asked for encryption or for an access list is
 * out of the question; only what changes nothing a client can see is let through. */
#include "config/draft.h"
#include "config/option_parse.h"

const struct foreign_option foreign_table[] = {
    /* listeners and transport */
    { "enable_proxy_protocol", FOREIGN_LATER },
    { "http_dir", FOREIGN_LATER },
    { "mount_point", FOREIGN_LATER },
    { "packet_buffer_size", FOREIGN_IDLE },
    { "proxy_protocol_v2_require_tls", FOREIGN_LATER },
    { "use_username_as_clientid", FOREIGN_LATER },
    { "websockets_headers_size", FOREIGN_IDLE },
    { "websockets_log_level", FOREIGN_IDLE },
    { "websockets_origin", FOREIGN_LATER },
    /* TLS */
    { "cafile", FOREIGN_LATER },
    { "capath", FOREIGN_LATER },
    { "certfile", FOREIGN_LATER },
    { "ciphers", FOREIGN_LATER },
    { "ciphers_tls1.3", FOREIGN_LATER },
    { "crlfile", FOREIGN_LATER },
    { "dhparamfile", FOREIGN_REMOVED },
    { "disable_client_cert_date_checks", FOREIGN_LATER },
    { "keyfile", FOREIGN_LATER },
    { "psk_file", FOREIGN_LATER },
    { "psk_hint", FOREIGN_LATER },
    { "require_certificate", FOREIGN_LATER },
    { "tls_engine", FOREIGN_LATER },
    { "tls_engine_kpass_sha1", FOREIGN_LATER },
    { "tls_keyform", FOREIGN_LATER },
    { "tls_version", FOREIGN_LATER },
    { "use_identity_as_username", FOREIGN_LATER },
    { "use_subject_as_username", FOREIGN_LATER },
    /* who may do what, plugins */
    { "acl_file", FOREIGN_LATER },
    { "auth_opt_", FOREIGN_LATER },
    { "auth_plugin", FOREIGN_LATER },
    { "auth_plugin_deny_special_chars", FOREIGN_LATER },
    { "check_retain_source", FOREIGN_LATER },
    { "clientid_prefixes", FOREIGN_LATER },
    { "enable_control_api", FOREIGN_OFF },
    { "global_plugin", FOREIGN_LATER },
    { "password_file", FOREIGN_LATER },
    { "per_listener_settings", FOREIGN_OFF },
    { "plugin", FOREIGN_LATER },
    { "plugin_load", FOREIGN_LATER },
    { "plugin_opt_", FOREIGN_LATER },
    { "plugin_use", FOREIGN_LATER },
    /* process */
    { "retry_interval", FOREIGN_REMOVED },
    /* bridges */
    { "address", FOREIGN_LATER },
    { "addresses", FOREIGN_LATER },
    { "bridge_alpn", FOREIGN_LATER },
    { "bridge_attempt_unsubscribe", FOREIGN_LATER },
    { "bridge_bind_address", FOREIGN_LATER },
    { "bridge_cafile", FOREIGN_LATER },
    { "bridge_capath", FOREIGN_LATER },
    { "bridge_certfile", FOREIGN_LATER },
    { "bridge_ciphers", FOREIGN_LATER },
    { "bridge_ciphers_tls1.3", FOREIGN_LATER },
    { "bridge_identity", FOREIGN_LATER },
    { "bridge_insecure", FOREIGN_LATER },
    { "bridge_keyfile", FOREIGN_LATER },
    { "bridge_max_packet_size", FOREIGN_LATER },
    { "bridge_max_topic_alias", FOREIGN_LATER },
    { "bridge_outgoing_retain", FOREIGN_LATER },
    { "bridge_protocol_version", FOREIGN_LATER },
    { "bridge_psk", FOREIGN_LATER },
    { "bridge_receive_maximum", FOREIGN_LATER },
    { "bridge_reload_type", FOREIGN_LATER },
    { "bridge_require_ocsp", FOREIGN_LATER },
    { "bridge_session_expiry_interval", FOREIGN_LATER },
    { "bridge_tcp_keepalive", FOREIGN_LATER },
    { "bridge_tcp_user_timeout", FOREIGN_LATER },
    { "bridge_tls_use_os_certs", FOREIGN_LATER },
    { "bridge_tls_version", FOREIGN_LATER },
    { "cleansession", FOREIGN_LATER },
    { "clientid", FOREIGN_LATER },
    { "connection", FOREIGN_LATER },
    { "idle_timeout", FOREIGN_LATER },
    { "keepalive_interval", FOREIGN_LATER },
    { "local_cleansession", FOREIGN_LATER },
    { "local_clientid", FOREIGN_LATER },
    { "local_password", FOREIGN_LATER },
    { "local_username", FOREIGN_LATER },
    { "notification_topic", FOREIGN_LATER },
    { "notifications", FOREIGN_LATER },
    { "notifications_local_only", FOREIGN_LATER },
    { "password", FOREIGN_LATER },
    { "remote_clientid", FOREIGN_LATER },
    { "remote_password", FOREIGN_LATER },
    { "remote_username", FOREIGN_LATER },
    { "restart_timeout", FOREIGN_LATER },
    { "round_robin", FOREIGN_LATER },
    { "start_type", FOREIGN_LATER },
    { "threshold", FOREIGN_LATER },
    { "topic", FOREIGN_LATER },
    { "try_private", FOREIGN_LATER },
    { "username", FOREIGN_LATER },
};

const size_t foreign_count = sizeof foreign_table / sizeof foreign_table[0];

const struct foreign_option *foreign_find(struct bytes name)
{
    for (size_t i = 0; i < foreign_count; i++) {
        struct bytes known = bytes_of_string(foreign_table[i].name);
        bool is_prefix = known.data[known.size - 1] == '_';
        if (is_prefix ? bytes_start_with(name, known) : bytes_equal(name, known))
            return &foreign_table[i];
    }
    return NULL;
}

static bool says_false(struct bytes rest)
{
    struct bytes word;
    return option_word(&rest, &word) &&
           (bytes_equal(word, BYTES("false")) || bytes_equal(word, BYTES("0")));
}

int foreign_apply(struct draft *d, const struct foreign_option *f, struct bytes name,
                  struct bytes rest)
{
    if (f->kind == FOREIGN_REMOVED) {
        draft_warn(d, "The '%s' option is no longer available and has no effect.", f->name);
        return 0;
    }
    if (f->kind == FOREIGN_IDLE) {
        draft_warn(d, "The '%s' option has no effect in Chappe.", f->name);
        return 0;
    }
    if (f->kind == FOREIGN_OFF && says_false(rest))
        return 0;
    return draft_fail(d, "Error: Option \"%s\" of Mosquitto is not available in Chappe yet.",
                      LOG_TEXT(name));
}
