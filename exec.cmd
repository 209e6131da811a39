@rem POSIX shells have a built-in `exec`, which the scripts of package.json use; here this file is found in its place.
@%*
