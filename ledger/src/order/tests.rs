//! The order's rules as examples: given these events, when this is asked, then that.
