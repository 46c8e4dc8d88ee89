// Carries the precompiled headers, which every room reuses.
