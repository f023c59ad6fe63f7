//! `auth`: a verified bearer token with the scopes that a route needs.
