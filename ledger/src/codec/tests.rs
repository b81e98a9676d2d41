//! The stored form, held from four sides: pinned by golden files, shown in the docs as it is, strict with what it
//! cannot read, and faithful with everything else.

mod bad_input;
mod cases;
mod docs;
mod golden;
mod properties;
