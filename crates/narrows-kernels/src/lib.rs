//! The arithmetic of Narrows.
