//! From a row to a resource of the contract, and the note in the trail that somebody saw personal data in clear.

use super::{
    caller::{Caller, CanRead},
    page::List,
};
use crate::{app::App, audit::Audited, error::Result, pii::Lens};

/// A resource of the contract that is made from a row.
pub trait Show: Sized {
    /// The entity whose row it is.
    type Entity: Audited;

    /// The resource as a caller sees it through this lens.
    ///
    /// # Errors
    /// 500 where personal data in the row does not open.
    fn shown(row: <Self::Entity as sea_orm::EntityTrait>::Model, lens: &Lens<'_>) -> Result<Self>;
}

impl App {
    /// Shows the row that a caller asked for.
    ///
    /// # Errors
    /// 500 where personal data in the row does not open.
    pub fn show<V: Show>(
        &self,
        caller: &Caller<CanRead>,
        row: <V::Entity as sea_orm::EntityTrait>::Model,
    ) -> Result<V> {
        let seen = self.reading::<V::Entity>(&caller.agent, caller.sight, std::slice::from_ref(&row));
        let shown = V::shown(row, &Lens::new(self, caller.sight))?;
        self.notes().note(seen);
        Ok(shown)
    }

    /// Shows the page that a caller asked for.
    ///
    /// # Errors
    /// 500 where personal data in one of the rows does not open: a page cannot be shown in part.
    pub fn show_page<V: Show>(
        &self,
        caller: &Caller<CanRead>,
        page: List<<V::Entity as sea_orm::EntityTrait>::Model>,
    ) -> Result<List<V>> {
        let seen = self.reading::<V::Entity>(&caller.agent, caller.sight, &page.data);
        let lens = Lens::new(self, caller.sight);
        let shown = page.try_map(|row| V::shown(row, &lens))?;
        self.notes().note(seen);
        Ok(shown)
    }
}
