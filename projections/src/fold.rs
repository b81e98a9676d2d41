//! One commit's changes to all views together.
