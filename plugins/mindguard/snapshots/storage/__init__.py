"""What is stored in the bucket: keys, parts, manifests, encryption, and checks that nothing has changed."""
