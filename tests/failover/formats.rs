//! What a coordinator cannot read stops it.
