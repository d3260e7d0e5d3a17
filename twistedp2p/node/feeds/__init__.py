"""What everybody publishes: our feed and the others', and what is missing of them."""
