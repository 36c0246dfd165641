"""How good a picture is, in numbers: whose face it is, where, in which pose; for the nodes and for evaluation."""
