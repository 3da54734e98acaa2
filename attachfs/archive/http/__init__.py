"""HTTP/1.1 as attachfs needs it: one wire, one pool, one place for each rule."""
