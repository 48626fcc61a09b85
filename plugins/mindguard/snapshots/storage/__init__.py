"""The content of the bucket: keys, parts, manifests, encryption, and checks that nothing has changed."""
