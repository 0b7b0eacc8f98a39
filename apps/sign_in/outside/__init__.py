"""Identity providers: OpenID Connect (and GitHub's OAuth 2), asked through the guard alone."""
