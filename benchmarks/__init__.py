"""Small programs that each print one number; README.md says how to read them."""
