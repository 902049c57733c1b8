//! Which statements are run: for tests, which explain each of them over tables full of rows.

use std::{fmt, sync::OnceLock};

use sea_orm::{DbBackend, Statement};

/// Told of each statement with its values, by whoever is about to run it.
type Observer = Box<dyn Fn(&Statement) + Send + Sync>;

/// The statements that a database runs. In service nobody observes them, and they are not looked at.
#[derive(Default)]
pub struct Statements(OnceLock<Observer>);

impl fmt::Debug for Statements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statements").finish_non_exhaustive()
    }
}

impl Statements {
    /// From now on tells this observer of each statement; the first one stays.
    pub fn observe(&self, observer: impl Fn(&Statement) + Send + Sync + 'static) {
        let _first_stays = self.0.set(Box::new(observer));
    }

    /// A statement is about to be run.
    pub(super) fn tell(&self, statement: &Statement) {
        if let Some(observer) = self.0.get() {
            observer(statement);
        }
    }

    /// The same of one that has yet to be built for this.
    pub(super) fn tell_of(&self, statement: impl FnOnce() -> Statement) {
        if let Some(observer) = self.0.get() {
            observer(&statement());
        }
    }

    /// The same of the text of one or more.
    pub(super) fn tell_text(&self, backend: DbBackend, sql: &str) {
        if let Some(observer) = self.0.get() {
            observer(&Statement::from_string(backend, sql));
        }
    }
}
