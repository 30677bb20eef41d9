//! The state of one topic in one namespace, as it comes in: pages, changes, and what to ask for next.
//!
//! ```text
//!            watched             asked            the last page
//!   Away ──────────────▶ Due ───────────▶ Paging ───────────────▶ Live
//!     ▲                   ▲                                         │ the digest disagrees, or
//!     └─ the connection   └─────────────────────────────────────────┘ the alias is another one
//!        has ended
//! ```

use std::sync::Arc;

use corewire_protocol::native::{
    self, Members, PRESENCE, STATE_KEY_BYTES_MAX, STATE_TTL_MS_MAX, STATE_VALUE_BYTES_MAX,
    StateDiff,
};

use super::picture::{Entry, Picture, Roll, Standing};
use super::stop::Loss;

/// Entries that a set may have. A server that tells of more is not one of ours.
const ENTRIES_MAX: usize = 65_536;
/// Milliseconds between two questions for the whole of a set. Where many come and go, its pages may
/// not agree with its digest, and what comes next may repair that.
const REPAIR_MS: u64 = 2000;

/// What the server has said of a whole set, at the newest of the versions that it has told.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    version: u64,
    count: u64,
    users: Option<u64>,
    digest: u64,
}

#[derive(Debug)]
enum Stage {
    /// No connection brings it. What is ephemeral is forgotten at this moment.
    Away { fades_at_ms: Option<u64> },
    /// It is to be asked for: as soon as the connection takes it, or at this moment.
    Due { at_ms: Option<u64> },
    /// Its pages come. The number tells this question from earlier ones.
    Paging {
        number: u64,
        draft: Roll,
        next: Next,
    },
    /// All is known.
    Live,
}

/// Where a paging is.
#[derive(Debug)]
enum Next {
    /// The page behind this cursor is to be asked for.
    Ask(Box<str>),
    Awaited,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Set {
    pub(super) topic: Arc<str>,
    pub(super) namespace: Arc<str>,
    /// Who looks at it.
    pub(super) handles: usize,
    stage: Stage,
    /// The topic's alias. Versions of another one cannot be compared.
    t: Option<u64>,
    /// The alias to which the entries of the picture belong; `None` if they are of an earlier
    /// connection.
    shown: Option<u64>,
    told: Told,
    /// When its first page was asked for last.
    asked_at_ms: Option<u64>,
    questions: u64,
    picture: Arc<Picture>,
}

/// A page that is to be asked for.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) number: u64,
    pub(super) after: Option<&'a str>,
}

impl Set {
    pub(super) fn new(topic: Arc<str>, namespace: Arc<str>) -> Self {
        Self {
            topic,
            namespace,
            handles: 0,
            stage: Stage::Away { fades_at_ms: None },
            t: None,
            shown: None,
            told: Told::default(),
            asked_at_ms: None,
            questions: 0,
            picture: Arc::default(),
        }
    }

    pub(super) const fn picture(&self) -> &Arc<Picture> {
        &self.picture
    }

    // Where it comes from.

    /// A connection brings it from now on.
    pub(super) fn begin(&mut self) {
        self.t = None;
        self.shown = None;
        self.told = Told::default();
        self.stage = Stage::Due { at_ms: None };
        let standing = match self.picture.standing {
            Standing::Unwatched | Standing::Loading => Standing::Loading,
            Standing::Live | Standing::Stale => Standing::Stale,
        };
        self.change().standing = standing;
    }

    /// Its connection has ended.
    pub(super) fn lose(&mut self, now_ms: u64) {
        if let Stage::Away { .. } = self.stage {
            return;
        }
        self.shown = None;
        let fades = &*self.namespace != PRESENCE;
        let fades_at_ms = fades.then(|| now_ms.saturating_add(STATE_TTL_MS_MAX));
        self.stage = Stage::Away { fades_at_ms };
        if self.picture.standing == Standing::Live {
            self.change().standing = Standing::Stale;
        }
    }

    /// No subscription asks for it any more.
    pub(super) fn end(&mut self) {
        self.stage = Stage::Away { fades_at_ms: None };
        self.shown = None;
        self.picture = Arc::default();
    }

    // What is to be done.

    /// When [`timeout`](Self::timeout) has something to do.
    pub(super) const fn deadline_ms(&self) -> Option<u64> {
        match self.stage {
            Stage::Away { fades_at_ms } => fades_at_ms,
            Stage::Due { at_ms } => at_ms,
            Stage::Paging { .. } | Stage::Live => None,
        }
    }

    /// Asks when it is time to, and forgets what was ephemeral. Whether that was anything.
    pub(super) fn timeout(&mut self, now_ms: u64) -> bool {
        match self.stage {
            Stage::Away {
                fades_at_ms: Some(at_ms),
            } if at_ms <= now_ms => {
                self.stage = Stage::Away { fades_at_ms: None };
                let picture = self.change();
                let known = picture.roll.len() > 0 || picture.count > 0;
                picture.roll = Roll::default();
                picture.count = 0;
                known
            }
            Stage::Due { at_ms: Some(at_ms) } if at_ms <= now_ms => {
                self.stage = Stage::Due { at_ms: None };
                false
            }
            Stage::Away { .. } | Stage::Due { .. } | Stage::Paging { .. } | Stage::Live => false,
        }
    }

    /// The page that is to be asked for now.
    pub(super) fn ask(&self) -> Option<Ask<'_>> {
        match &self.stage {
            Stage::Due { at_ms: None } => Some(Ask {
                number: self.questions + 1,
                after: None,
            }),
            Stage::Paging {
                number,
                next: Next::Ask(after),
                ..
            } => Some(Ask {
                number: *number,
                after: Some(after),
            }),
            Stage::Away { .. } | Stage::Due { .. } | Stage::Paging { .. } | Stage::Live => None,
        }
    }

    /// It was asked for.
    pub(super) fn asked(&mut self, now_ms: u64) {
        if let Stage::Paging { next, .. } = &mut self.stage {
            *next = Next::Awaited;
            return;
        }
        self.questions += 1;
        self.asked_at_ms = Some(now_ms);
        self.stage = Stage::Paging {
            number: self.questions,
            draft: Roll::default(),
            next: Next::Awaited,
        };
    }

    /// The server has no page for it now.
    pub(super) fn refused(&mut self, number: u64, retry_ms: Option<u64>, now_ms: u64) {
        if self.is_asked(number) {
            let wait_ms = retry_ms.unwrap_or(0).max(REPAIR_MS);
            let at_ms = Some(now_ms.saturating_add(wait_ms));
            self.stage = Stage::Due { at_ms };
        }
    }

    /// The server will never have one. Whether it is still wanted.
    pub(super) fn give_up(&mut self, number: u64) -> bool {
        let is_wanted = self.is_asked(number);
        if is_wanted {
            self.stage = Stage::Away { fades_at_ms: None };
        }
        is_wanted
    }

    fn is_asked(&self, number: u64) -> bool {
        matches!(self.stage, Stage::Paging { number: asked, .. } if asked == number)
    }

    // What comes.

    /// A page has come.
    pub(super) fn page(
        &mut self,
        number: u64,
        page: &Members<'_>,
        now_ms: u64,
    ) -> Result<(), Loss> {
        if !self.is_asked(number) {
            return Ok(());
        }
        if *self.t.get_or_insert(page.t) != page.t {
            // The topic has begun anew, and which of them did is not known yet.
            let at_ms = Some(now_ms.saturating_add(REPAIR_MS));
            self.stage = Stage::Due { at_ms };
            return Ok(());
        }
        let items = read(&page.items)?;
        self.hear(Told {
            version: page.version,
            count: page.n,
            users: page.users,
            digest: page.digest,
        });
        let Stage::Paging { draft, next, .. } = &mut self.stage else {
            return Ok(());
        };
        for entry in &items {
            draft.put(entry);
        }
        check_room(draft)?;
        if let Some(after) = &page.next {
            *next = Next::Ask((&**after).into());
            return Ok(());
        }
        let draft = std::mem::take(draft);
        self.stage = Stage::Live;
        self.shown = self.t;
        let picture = self.change();
        picture.roll = draft;
        picture.standing = Standing::Live;
        self.check(now_ms);
        Ok(())
    }

    /// Something has changed.
    pub(super) fn diff(&mut self, diff: &StateDiff<'_>, now_ms: u64) -> Result<(), Loss> {
        if let Stage::Away { .. } = self.stage {
            return Ok(());
        }
        if self.t != Some(diff.t) {
            if self.t.is_some() {
                // A life of its own, with nothing of the one before.
                self.begin();
            }
            self.t = Some(diff.t);
        }
        let items = read(&diff.set)?;
        // What was set before the last page stands there, or has gone since.
        let is_new = diff.version >= self.told.version;
        self.hear(Told {
            version: diff.version,
            count: diff.n,
            users: diff.users,
            digest: diff.digest,
        });
        let apply = |roll: &mut Roll| {
            if is_new {
                for entry in &items {
                    roll.put(entry);
                }
            }
            for key in &diff.deleted {
                roll.remove(key, diff.version);
            }
            check_room(roll)
        };
        if let Stage::Paging { draft, .. } = &mut self.stage {
            apply(draft)?;
        }
        if self.shown == self.t {
            if !(items.is_empty() && diff.deleted.is_empty()) {
                apply(&mut self.change().roll)?;
            }
            self.check(now_ms);
        }
        Ok(())
    }

    fn hear(&mut self, told: Told) {
        if told.version >= self.told.version {
            self.told = told;
            if (self.picture.count, self.picture.users) != (told.count, told.users) {
                let picture = self.change();
                picture.count = told.count;
                picture.users = told.users;
            }
        }
    }

    /// Whether all is known; if not, it is to be asked for, but not too often.
    fn check(&mut self, now_ms: u64) {
        let agrees = self.picture.roll.agrees(self.told.count, self.told.digest);
        match &self.stage {
            Stage::Due { .. } if agrees => self.stage = Stage::Live,
            Stage::Live if !agrees => {
                let earliest_ms = self.asked_at_ms.map(|at_ms| at_ms + REPAIR_MS);
                let at_ms = earliest_ms.filter(|at_ms| *at_ms > now_ms);
                self.stage = Stage::Due { at_ms };
            }
            Stage::Away { .. } | Stage::Due { .. } | Stage::Paging { .. } | Stage::Live => {}
        }
    }

    /// The picture, for a change. Whoever holds it keeps what he has seen.
    fn change(&mut self) -> &mut Picture {
        Arc::make_mut(&mut self.picture)
    }
}

fn read(said: &[native::Entry<'_>]) -> Result<Vec<Entry>, Loss> {
    let fits = said.iter().all(|entry| {
        let value = entry.value.as_deref().unwrap_or_default();
        entry.key.len() <= STATE_KEY_BYTES_MAX && value.len() <= STATE_VALUE_BYTES_MAX
    });
    if !fits {
        return Err(Loss::Broken(
            "it tells of an entry with a key of more than 128 bytes, or a value of more than 1024"
                .into(),
        ));
    }
    Ok(said.iter().map(Entry::read).collect())
}

fn check_room(roll: &Roll) -> Result<(), Loss> {
    if roll.len() > ENTRIES_MAX {
        return Err(Loss::Broken(
            "it tells of more than 65536 entries in one set".into(),
        ));
    }
    Ok(())
}
