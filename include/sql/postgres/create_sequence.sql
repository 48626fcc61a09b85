create sequence {sequence}
owned by {column}
