//! The one place that sees both dialects.
