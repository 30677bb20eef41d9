//! What cores reach one another through. `tests/loom` compiles the mailbox and the stop against
//! models of these, and tries every order of their steps.

pub(crate) use std::sync::atomic::{AtomicBool, Ordering, fence};

pub(crate) use crossbeam::queue::ArrayQueue;
pub(crate) use crossbeam::utils::CachePadded;
