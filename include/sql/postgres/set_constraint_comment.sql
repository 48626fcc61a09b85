comment on constraint {constraint} on {owner} is {comment}
