/* base/uninitialized.h: release builds clear every local variable; a large one on the path of every
 * message says that it is filled before it is read. */
#pragma once

#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define UNINITIALIZED __attribute__((uninitialized))
#endif
#endif
#ifndef UNINITIALIZED
#define UNINITIALIZED
#endif
