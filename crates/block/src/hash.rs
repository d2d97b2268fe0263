//! The correlation-robust hash (protocol.md, section 6).
