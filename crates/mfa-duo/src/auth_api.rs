//! The Auth API v2.
