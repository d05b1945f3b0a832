"""From a release to answers over HTTP: recommender, feedback, keys, deployments, client."""
