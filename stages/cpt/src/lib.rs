//! cpt.
