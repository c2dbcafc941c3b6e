//! A journal that lost its end is healed by the coordinator that knows most of it.
