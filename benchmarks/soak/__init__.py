"""A server under everything that clients do, for as long as wanted: does anything grow, or break?

`__main__` runs it: `server` starts what is soaked, `clients` keep it busy with what `wishes`,
`conversations`, `seeded`, `malformed` and `vandals` think of, `watch` takes a `sample` a second,
`lives` ends and starts a second server over and over, and `verdict` judges, by `slope` where
something must not grow. `picture` draws it.
"""
