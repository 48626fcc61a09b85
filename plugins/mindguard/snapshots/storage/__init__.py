"""What lies in the bucket: keys, parts, manifests, encryption, and whether it is still what was written."""
