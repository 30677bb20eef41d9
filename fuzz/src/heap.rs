//! A bound on what a call may allocate.

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Runs `call`, which aborts the process where it allocates the byte that is one too many. The
/// bound is the whole process's, so one thing runs at a time.
pub(crate) fn at_most<T>(bytes: usize, call: impl FnOnce() -> T) -> T {
    HEAP.set_limit(HEAP.allocated().saturating_add(bytes))
        .expect("more is allowed than is allocated");
    let result = call();
    HEAP.set_limit(usize::MAX).expect("all is allowed");
    result
}
