//! Who holds entries.

use std::sync::Arc;

use crate::ids::CoreId;

use super::super::client::ClientKey;

/// A connection that holds entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::messaging) struct Holder {
    pub(in crate::messaging) core: CoreId,
    pub(in crate::messaging) client: ClientKey,
}

/// Who a holder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::messaging) struct Member {
    pub(in crate::messaging) user: Arc<str>,
    /// What goes on when the connection is lost and comes back.
    pub(in crate::messaging) session: Arc<str>,
    /// Which of its connections this is.
    pub(in crate::messaging) incarnation: u32,
    /// The connection.
    pub(in crate::messaging) conn: Arc<str>,
}
