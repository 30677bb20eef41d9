//! How cores wake one another, in every order of steps that the memory model allows, up to a number
//! of interruptions. The files of the server are compiled as they are; what they take from its
//! `sync` are loom's models here, and weaker than the real things: the queue orders nothing but
//! what it holds.
//!
//! loom lets only fences be sequentially consistent; other operations are acquire and release at
//! most. What holds for it holds for the processor, but not the other way round.
#![cfg(test)]

#[path = "../../../src/runtime/control.rs"]
mod control;
#[path = "../../../src/ids.rs"]
#[allow(dead_code, unreachable_pub, reason = "connections play no part")]
mod ids;
#[path = "../../../src/mailbox.rs"]
#[allow(unreachable_pub, reason = "the benches of the server use it too")]
mod mailbox;
mod stop;
mod sync;
mod wake_up;
mod world;
