//! The legacy iframe (Web SDK v2).
