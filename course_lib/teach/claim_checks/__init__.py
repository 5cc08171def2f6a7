"""The checks behind the ledger's verdicts, one module per lesson that exists.

Each module offers `CHECKS`, a dict from a claim's id to a function from evidence to a `Finding`, and
`default_evidence()`, what is used when the caller has none of their own.
"""
