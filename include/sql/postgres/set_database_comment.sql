comment on database {database} is {comment}
