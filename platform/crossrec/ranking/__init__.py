"""From relevance to the order of an answer: objectives, weights, limits, filters; numpy only."""
