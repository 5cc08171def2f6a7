"""What a notebook shows: figures, interactive figures, exercises that check themselves, quizzes, the ledger of claims.

No lesson imports this floor; notebooks do. Everything here shows itself as HTML in a notebook and as text elsewhere.
"""
