comment on schema {namespace} is {comment}
