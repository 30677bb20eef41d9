//! The two ends of a conversation: [`Us`], and a peer that is spelled out in [`Frame`]s and
//! compresses with [`Zlib`]. The peer has nothing of our code, so a mistake cannot cancel out.
#![allow(dead_code, unused_imports, reason = "no test file uses all of it")]

mod frame;
mod session;
mod us;
mod zlib;

pub(crate) use frame::*;
pub(crate) use session::*;
pub(crate) use us::*;
pub(crate) use zlib::*;
