"""A plan on a machine that is not there: a discrete-event simulation whose claims and steals are the C core's own."""
