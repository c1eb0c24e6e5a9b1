"""An artifact in the forms that other tools deploy: docker folders, Kubernetes manifests, other engines' files."""
