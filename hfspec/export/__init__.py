"""An artifact as what other tools deploy: a folder for docker, manifests for Kubernetes, the files of other engines."""
