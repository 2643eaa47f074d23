"""One module a verb: parse, wire, call, report."""
