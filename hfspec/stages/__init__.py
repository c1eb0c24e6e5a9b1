"""load, validate, resolve, plan, build, emit: one verb a file, one public function a file."""
