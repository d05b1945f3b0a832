"""Quality benchmark: ours and peers, trained and judged in one run on the same cases."""
