"""What an auditor asks of a journal: is it sound, was it decided as it says, who changed what."""
