//! A bound on what a call may allocate.

use std::alloc::System;
use std::panic;
use std::sync::Once;

use cap::Cap;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

static PANICS_FREELY: Once = Once::new();

/// Runs `call`, which aborts the process where it allocates the byte that is one too many. The
/// bound is the whole process's, so one thing runs at a time.
pub(crate) fn at_most<T>(bytes: usize, call: impl FnOnce() -> T) -> T {
    PANICS_FREELY.call_once(panics_freely);
    HEAP.set_limit(HEAP.allocated().saturating_add(bytes))
        .expect("more is allowed than is allocated");
    let result = call();
    HEAP.set_limit(usize::MAX).expect("all is allowed");
    result
}

/// A panic allocates: it must not run into the bound of the call that it ends.
fn panics_freely() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let _ = HEAP.set_limit(usize::MAX);
        hook(info);
    }));
}
