"""Questions and answers: what is asked, and how it is answered."""
