//! JSON within texts: where it is, and what its members say.

mod marks;
pub(crate) mod names;
pub(crate) mod scan;
pub(crate) mod text;
